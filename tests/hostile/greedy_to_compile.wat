;; Has a hundred thousand functions, which take the compiler more memory than it is given.
;; group: memory
;; refused: does_not_load
;; says: limits.compile_mib
(component
  (;memory;)
  (core module $m (;times 100000;)(func)(;end;))
  (core instance $i (instantiate $m))
  (;skill;))
