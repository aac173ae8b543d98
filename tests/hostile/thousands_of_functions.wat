;; Has five thousand functions that do nothing.
;; group: load
(component
  (;memory;)
  (core module $m (;times 5000;)(func)(;end;))
  (core instance $i (instantiate $m))
  (;skill;))
