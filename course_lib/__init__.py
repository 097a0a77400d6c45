"""Inside R1: the library behind the notebooks.

Importing the package is cheap. Every module is one idea and is imported by name, for example
``from course_lib import puzzles``; torch and transformers load with the modules that need them.
"""

__version__ = "0.1.0"
