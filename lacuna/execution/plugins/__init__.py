"""What runs the nodes: this machine or a cluster."""
