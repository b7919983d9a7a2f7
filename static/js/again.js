// Loads the page "Back in a moment" again, at a random moment around its time: many people may wait for the same server.
setTimeout(() => location.reload(), document.currentScript.dataset.seconds * 1000 * (0.75 + Math.random() / 2));
