"""Forms of caption files: one file each."""
