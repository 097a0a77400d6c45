"""The exercises, one module a lesson; each has its EXERCISES in order."""
