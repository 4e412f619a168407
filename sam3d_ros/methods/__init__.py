"""How the hidden side of an object is completed: by the compact model, or by a classical rule.

Reading order: `settings` (what a user sets) -> `choose` (which method runs, and why) -> `answer` (a completed object,
posed and measured) -> `classical`, `learned`.
"""
