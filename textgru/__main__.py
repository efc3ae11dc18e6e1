"""python -m textgru"""

from textgru.entry import main

if __name__ == "__main__":
    main()
