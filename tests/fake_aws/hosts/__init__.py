"""Machines for the simulated EC2: an instance boots its user-data as a container on Docker.

What AWS gives to an instance it gets here as well: the image (the local one with what the AMI is
baked with), user-data by the metadata service, volumes as block devices, the fixed address, S3 and
the other services by their own names and under TLS, each call judged by the instance's role.
"""
