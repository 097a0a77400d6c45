"""The course's widgets: each a small class over pure functions, with a twin in words."""
