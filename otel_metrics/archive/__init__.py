"""What is done with an archive after it was written."""
