import sys

from huenet.evaluate.run import main

sys.exit(main())
