# Exchanges two names without a moment in which one of them is missing, for ever; /tmp/swaps says how often.
one, two = (argument.encode() + b"\0" for argument in sys.argv[1:3])
count = 0
while True:
    sys_call(316 if X86 else 276, -100, one, -100, two, 2)
    count += 1
    if count % 500 == 0:
        with open("/tmp/swaps.new", "w") as file:
            file.write(str(count))
        os.rename("/tmp/swaps.new", "/tmp/swaps")
