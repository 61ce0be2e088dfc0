"""Pictures as SVG that the server makes: no script draws, no style is inlined, and each says in words what it shows."""

from modelops.dashboard.pictures.bars import bars
from modelops.dashboard.pictures.beside import beside
from modelops.dashboard.pictures.course import Point, course
from modelops.dashboard.pictures.graph import Node, graph
from modelops.dashboard.pictures.intervals import Interval, intervals
from modelops.dashboard.pictures.plane import Mark, Plane, plane

__all__ = [
    "Interval",
    "Mark",
    "Node",
    "Plane",
    "Point",
    "bars",
    "beside",
    "course",
    "graph",
    "intervals",
    "plane",
]
