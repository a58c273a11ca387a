"""``tinyae book``: the source as a book, in static HTML that needs no network.

``chapters``       the reading order, and the chapter of every file
``plan``           the pages in their order; ``address``: where everything is, links between pages
``shelf``          the files of the package; ``modules``: one of them, ``highlight``: its code in HTML
``prose``          a docstring in HTML; its equations are set by ``explanation.mathml``
``module_page``    the page of a file
``lesson``         the page of a layer or a model; ``spread``: forward and backward beside equations,
                   ``example``: values and gradients, ``mistakes``: planted, and diagnosed,
                   ``relations``: exercises and models; ``pictures``: of the demos;
                   ``quality``: figures on real data
``exercise_page``  the page of an exercise
``search``         the index that the search box looks into
``write``          all pages into a folder

Everything is read or computed from the source when the book is made.
"""

from tinyae.book.write import write_book

__all__ = ["write_book"]
