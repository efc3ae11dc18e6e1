"""python -m textgru"""

from textgru.cli import main

if __name__ == "__main__":
    main()
