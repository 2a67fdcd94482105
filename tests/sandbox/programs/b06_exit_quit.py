# Benign: exit() in the middle.
print(7)
exit()
print(8)
