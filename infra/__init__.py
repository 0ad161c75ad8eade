"""What `pulumi up` creates: one typed spec, rendered into machines, placed on Docker or AWS."""
