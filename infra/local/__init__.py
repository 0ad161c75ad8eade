"""The place `local`: machines are systemd containers on one Docker engine."""
