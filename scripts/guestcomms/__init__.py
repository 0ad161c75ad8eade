"""The command line and the programs of the guest communications database."""
