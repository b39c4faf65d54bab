"""Tasks by the name used in ids."""

from safety_gym.task import Task
from safety_gym.tasks.building import BuildingButtonTask, BuildingGoalTask, BuildingPushTask
from safety_gym.tasks.button import ButtonTask
from safety_gym.tasks.circle import CircleTask
from safety_gym.tasks.fading import FadingEasyTask, FadingHardTask
from safety_gym.tasks.formula_one import FormulaOneTask
from safety_gym.tasks.goal import GoalTask
from safety_gym.tasks.push import PushTask
from safety_gym.tasks.race import RaceTask
from safety_gym.tasks.run import RunTask
from safety_gym.tasks.velocity import VelocityTask

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (
        *(GoalTask, ButtonTask, PushTask, CircleTask, RunTask),
        *(BuildingGoalTask, BuildingButtonTask, BuildingPushTask),
        *(RaceTask, FormulaOneTask, FadingEasyTask, FadingHardTask),
        VelocityTask,
    )
}
__all__ = ["TASKS"]
