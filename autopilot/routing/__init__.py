"""Who does a task: explicit constraint, then capability and scores, then resources; learned from outcomes.

``History`` folds the event log into ``Quality`` (how good) and ``HealthBook`` (who can be tried), and ``Router``
decides with them. The rule and its figures: ``docs/explanation/routing.md``.
"""

from autopilot.routing.contender import Contender
from autopilot.routing.health import HealthBook, RestState
from autopilot.routing.history import History
from autopilot.routing.parameters import Parameters
from autopilot.routing.quality import Estimate, Quality
from autopilot.routing.router import Router

__all__ = ["Contender", "Estimate", "HealthBook", "History", "Parameters", "Quality", "RestState", "Router"]
