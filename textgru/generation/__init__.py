"""From a prompt to text: sampling controls and the loop that draws."""
