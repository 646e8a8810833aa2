/* A button on each block of code that copies it, without the prompts of a console. */
document.addEventListener("DOMContentLoaded", () => {
  if (!navigator.clipboard) return; // browsers offer it on https and on localhost only
  for (const block of document.querySelectorAll("div.highlight")) {
    const button = document.createElement("button");
    button.className = "copy";
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy this block");
    button.addEventListener("click", async () => {
      const text = block.querySelector("pre").innerText.replace(/^\$ /gm, "").trimEnd();
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
    block.append(button);
  }
});
