document.addEventListener("DOMContentLoaded", () => {
  // Long names in tables may break after these characters. Copied text does not change.
  for (const code of document.querySelectorAll(".table-wrapper td code")) {
    const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
    const found = [];
    while (texts.nextNode()) if (texts.currentNode.data.length > 16) found.push(texts.currentNode);
    for (const text of found) {
      const parts = text.data.split(/(?<=[/_.(])(?=\w)/).flatMap((part) => [part, document.createElement("wbr")]);
      text.replaceWith(...parts.slice(0, -1));
    }
  }

  // Options such as --resume do not break at their hyphens.
  for (const code of document.querySelectorAll("article code.literal")) {
    if (code.textContent.length <= 20) code.style.whiteSpace = "nowrap";
  }

  // A button on each block of code copies it, without the prompts of a console.
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
