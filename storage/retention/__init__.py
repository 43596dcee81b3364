"""What is deleted from the local disk, when and how; legal holds; what stays behind."""
