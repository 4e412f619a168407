"""The stages of the paper as data, their losses, and one loop that runs them on any number of machines."""
