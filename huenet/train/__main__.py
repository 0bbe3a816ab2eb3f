import sys

from huenet.train.loop import main

sys.exit(main())
