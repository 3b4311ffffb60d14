"""What is said of whole datasets: Collection documents, releases, and how they are cited."""
