"""The place `aws`: a cluster on EC2, in a network of its own without a way to the internet."""
