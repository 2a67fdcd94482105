# Benign: opens its descriptors by name.
with open("/dev/stdin") as source, open("/dev/stdout", "w") as sink:
    sink.write(source.read())
