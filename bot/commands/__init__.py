"""The command language (`parser`), and what each command does with an Agent (`registry`)."""
