"""What looks at more than one task: the faces in photographs, found and embedded."""
