"""The page from which somebody decides whether a target ships: its facts, its verdict, its pictures."""
