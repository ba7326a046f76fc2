"""An analyst who is asked about tables, and who saves a report only with a person's yes."""
