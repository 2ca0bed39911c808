(* test_vectors.ml - every row of tests/vectors, in OCaml: B8 *)

open Xlchild
open Support

let is_root = Unix.geteuid () = 0

let with_fixtures f =
  with_temporary_folder @@ fun path ->
  let places = { Vectors.dir = Unix.realpath path } in
  (with_context @@ fun ctx ->
   check_status "fixtures" "exit 0"
     (Child.wait (start ctx (verbs [ "fixtures"; places.dir ]))));
  f places

(* Set aside, each for the reason that its exception tells: their ids are
   listed, so that a row that can be said is not lost. *)
let cannot_be_said =
  [
    "argv-empty"; "flags-unknown"; "group-join-and-new";
    "group-join-and-session"; "group-zero"; "group-init"; "group-negative";
    "fds-target-negative"; "fds-target-repeated";
    "pdeathsig-negative"; "kill-signal-negative"; "on-free-unknown";
    "grace-negative";
  ]

(* Runs [f] on every row; one row's failure does not hide the others'. *)
let each table f () =
  let rows = Vectors.read table in
  Alcotest.(check bool) "there are rows" true (rows <> []);
  let wrong =
    List.filter_map
      (fun row ->
        let id = List.hd row in
        match f row with
        | () ->
            if List.mem id cannot_be_said then Some (id ^ ": can be said")
            else None
        | exception Vectors.Cannot_say why ->
            if List.mem id cannot_be_said then None
            else Some (id ^ ": set aside, " ^ why)
        | exception exn -> Some (id ^ ": " ^ Printexc.to_string exn))
      rows
  in
  if wrong <> [] then Alcotest.fail (String.concat "\n" wrong)

let equal name expected actual =
  if expected <> actual then
    let brief s =
      if String.length s < 200 then s else String.sub s 0 200 ^ "..."
    in
    failwith
      (Printf.sprintf "%s: expected %S, got %S" name (brief expected)
         (brief actual))

let status places =
  each "status.tsv" (function
    | [ _; verbs; kind; value ] ->
        with_context @@ fun ctx ->
        let c =
          start ctx
            (Vectors.command places ~verbs:(Vectors.words places verbs) "-")
        in
        equal "status"
          (Vectors.expected kind value)
          (status_text (Child.wait c).status)
    | _ -> failwith "columns")

let errno_names =
  [
    ("ENOENT", Unix.ENOENT); ("EACCES", EACCES); ("ENOEXEC", ENOEXEC);
    ("ELOOP", ELOOP); ("ENOTDIR", ENOTDIR); ("ENAMETOOLONG", ENAMETOOLONG);
    ("EBADF", EBADF); ("EPERM", EPERM); ("ENOTTY", ENOTTY);
    ("EINVAL", EINVAL);
  ]

let applies = function
  | "root" -> is_root
  | "user" -> not is_root
  | _ -> true

let failure places =
  each "failure.tsv" (function
    | [ _; needs; settings; stage; errno ] ->
        if applies needs then begin
          with_context @@ fun ctx ->
          match start_result ctx (Vectors.command places settings) with
          | Ok c ->
              ignore (Child.wait c);
              failwith "it started"
          | Result.Error e ->
              equal "code" (code_text Spawn_failed) (code_text e.code);
              equal "stage" stage (stage_text e.stage);
              equal "errno"
                (Unix.error_message (List.assoc errno errno_names))
                (match e.errno with
                | Some e -> Unix.error_message e
                | None -> "none")
        end
    | _ -> failwith "columns")

let invalid places =
  each "invalid.tsv" (function
    | [ _; settings; argument ] -> (
        let command = Vectors.command places settings in
        with_context @@ fun ctx ->
        match start_result ctx command with
        | Ok c ->
            Child.kill c Sys.sigkill;
            ignore (Child.wait c);
            failwith "it started"
        | Result.Error e ->
            equal "code" (code_text Invalid) (code_text e.code);
            equal "stage" "argument" (stage_text e.stage);
            equal "argument" argument (Option.value e.argument ~default:"-"))
    | _ -> failwith "columns")

let scope = function
  | "process" -> Process
  | "group" -> Process_group
  | "cgroup" -> Control_group
  | s -> failwith s

let act c = function
  | [ "kill"; signal; where ] ->
      Child.kill ~scope:(scope where) c (Vectors.signal signal)
  | [ "terminate"; "-" ] -> Child.terminate c
  | [ "terminate"; signal; grace; where ] ->
      Child.terminate c
        ~policy:(Vectors.kill_policy (String.concat ":" [ signal; grace; where ]))
  | action -> failwith (String.concat " " action)

let killing places =
  each "kill.tsv" (function
    | [ _; verbs; settings; action; kind; value ] ->
        with_context @@ fun ctx ->
        with_pipe @@ fun r w ->
        let verbs = Vectors.words places verbs in
        let c =
          start ctx
            (Vectors.command places ~verbs ~more_fds:[ (1, Fd w) ] settings)
        in
        Unix.close w;
        if Unix.read r (Bytes.create 1) 0 1 <> 1 then failwith "not ready";
        act c (Vectors.raw_words action);
        equal "end"
          (Vectors.expected kind value)
          (status_text (Child.wait c).status)
    | _ -> failwith "columns")

let streams places =
  each "stream.tsv" (function
    | [ _; verbs; stdin; stdout; stderr; kind; value ] ->
        with_context @@ fun ctx ->
        let text column =
          Option.value (Vectors.optional places column) ~default:""
        in
        let o =
          run ctx
            (Vectors.command places ~verbs:(Vectors.words places verbs) "-")
            ~stdin:
              (match Vectors.optional places stdin with
              | None -> `Null
              | Some data -> `String data)
            ~stdout:`Capture ~stderr:`Capture
        in
        equal "stdout" (text stdout) o.out.data;
        equal "stderr" (text stderr) o.err.data;
        equal "end"
          (Vectors.expected kind value)
          (status_text o.child.status)
    | _ -> failwith "columns")

let asked places =
  each "child.tsv" (function
    | [ _; needs; settings; verbs; stdout ] ->
        if applies needs then begin
          with_context @@ fun ctx ->
          let o =
            run ctx
              (Vectors.command places
                 ~verbs:(Vectors.words places verbs)
                 settings)
              ~stdout:`Capture
          in
          equal "stdout"
            (Option.value (Vectors.optional places stdout) ~default:"")
            o.out.data;
          equal "end" "exit 0" (status_text o.child.status)
        end
    | _ -> failwith "columns")

let codes _places =
  each "codes.tsv" (function
    | [ id; kind; number; text ] -> (
        let n = int_of_string number in
        let first = function Some x -> x | None -> failwith "no such value" in
        match kind with
        | "error" ->
            equal "text" text (code_text (code_of_number n));
            Alcotest.(check int) "number" n (code_number (code_of_number n));
            let known =
              match code_of_number n with Unknown_code _ -> false | _ -> true
            in
            if known <> (Char.lowercase_ascii id.[0] <> id.[0]) then
              failwith (id ^ ": a code of its own?")
        | "stage" when text <> "unknown" ->
            equal "text" text (stage_text (first (List.nth_opt Vectors.stages n)))
        | "owner" when text <> "unknown" ->
            equal "text" text (owner_text (first (List.nth_opt Vectors.owners n)))
        | "lost" when text <> "unknown" && n > 0 ->
            equal "text" text
              (lost_text (first (List.nth_opt Vectors.reasons (n - 1))))
        | "stage" | "owner" | "lost" -> () (* types here: nothing unknown *)
        | kind -> failwith kind)
    | _ -> failwith "columns")

let table name f =
  case name (fun () -> with_fixtures (fun places -> f places ()))

let cases =
  [
    table "B8 C6 status.tsv" status;
    table "B8 X5 invalid.tsv" invalid;
    table "B8 C13 kill.tsv" killing;
    table "B8 C18 stream.tsv" streams;
    table "B8 codes.tsv" codes;
  ]
  @ not_under_valgrind ~why:"it ends a child whose exec fails"
      [ table "B8 C15 failure.tsv" failure ]
  @ not_under_valgrind ~why:"it keeps descriptors and limits of its own"
      [ table "B8 C16 child.tsv" asked ]
