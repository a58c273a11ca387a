"""``tinyae learn``: exercises in writing backward passes, each checked, and answered by the doctor.

``command``     the verbs: list, start, check, hint, solution, watch, reset; ``arguments``: their options
``track``       the exercises in their order; how the learner's file is made from the solution
``exercises``   one file each: hints, and what is checked
``solutions``   one file each: equation, task and reason; what the learner gets is this file with
                the bodies of the functions to be written taken out
``starts``      the learner's file where it is no such cut: the capstone's, with its five mistakes
``examiner``    runs the learner's functions and compares: values, gradients, inputs unchanged
``consult``     asks the doctor about what is wrong; ``wording`` and ``outcome``: how it is said
``child``       the process that a learner's file runs in, and the limits on it
``state``       what was done so far, in one JSON file
"""
