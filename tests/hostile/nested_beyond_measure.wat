;; Is a component in a component in a component, ten thousand times.
;; group: load
;; refused: does_not_load
;; nested: 10000
(component
  (;memory;)
  (;skill;))
