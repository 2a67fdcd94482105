# Benign: a method with two arguments.
class Solution:
    def add(self, a: list, b: int):
        print("not the answer")
        return tuple(x + b for x in a)
