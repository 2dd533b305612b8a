"""The command language (`parser`), and what each command runs on an Agent (`registry`)."""
