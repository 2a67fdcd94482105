# Allocates and touches 4 GB.
b = []
for i in range(64):
    b.append(bytearray(b'x' * (64 << 20)))
print(7)
