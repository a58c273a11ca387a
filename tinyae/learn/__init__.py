"""``tinyae learn``: exercises in writing backward passes, which are checked and diagnosed.

``command``     the verbs: list, start, check, hint, solution, watch, reset; ``arguments``: their options
``track``       the exercises in their order; how the learner's file is made from the solution
``exercises``   one file each: hints, and what is checked
``solutions``   one file each: equation, task and reason. The learner gets this file without the
                bodies of the functions to write
``starts``      files that are not made from the solution: the capstone's, with five mistakes
``examiner``    runs the learner's functions; checks values, gradients and unchanged inputs
``consult``     asks the doctor what is wrong; ``telling`` says it in the learner's terms
``wording``     the texts of the answer; ``outcome``: the answer as data
``child``       the process in which a learner's file runs, and the limits on it
``state``       the learner's progress, in one JSON file
"""
