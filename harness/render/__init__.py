"""Values in, text out: nothing here reads, prints or decides."""
