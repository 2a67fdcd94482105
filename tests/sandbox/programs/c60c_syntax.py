# Not a program.
def (:
