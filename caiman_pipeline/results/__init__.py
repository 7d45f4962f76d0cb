"""Result files: whole or absent, typed records in and out, where they came from, and what is exported."""
