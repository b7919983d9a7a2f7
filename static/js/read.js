// A page that only shows solutions: render their formulas.
Stepmark.show(document.getElementById("main"));
