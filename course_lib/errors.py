"""The one exception a learner meets: a sentence that says what is wrong and what to do."""


class CourseError(Exception):
    """Something the reader can put right: the message is one plain sentence, without traceback."""
