"""What looks at more than one task: trained networks by their names, the faces in photographs."""
