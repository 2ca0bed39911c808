"""Services of a script that live on when it is killed, and are adopted by its
next life: started, watched for readiness, started again, stopped, and told how
they ended. See Services.
"""
from ._policy import Backoff
from ._services import Services
from ._words import End, Event, State

__all__ = ["Backoff", "End", "Event", "Services", "State"]
