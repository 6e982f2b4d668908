"""The library behind the winning-tickets book.

Data flows one way: images -> training -> tickets -> metrics against baselines -> figures and
verdicts -> chapters -> book.  A module imports only from the ones before it.
"""
