;; Has a type of two of a type of two of a type, and so on: 2^40 of them.
;; group: load
;; refused: does_not_load
(component
  (type $t0 (tuple u64 u64))
  (;times 40;)(type (tuple # #))
  (;end;)
  (;memory;)
  (;skill;))
