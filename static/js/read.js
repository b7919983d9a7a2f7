// A page that only shows solutions: set their formulas.
Stepmark.show(document.getElementById("main"));
