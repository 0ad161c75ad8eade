"""The agent's one exception: a sentence for a person, with the next step in it."""


class AgentError(Exception):
    """Something the agent cannot go on with.

    Args:
        message: what was wrong, the value met, and what to do next; it is printed as it is.
    """
