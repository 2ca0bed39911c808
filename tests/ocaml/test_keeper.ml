(* test_keeper.ml - the keeper as a process: what it costs, and where it runs

   What it is for is in test_keeping.ml. *)

module Keeping = Xlchild_supervisor__Keeping
module Processes = Xlchild_supervisor__Processes
module Safe = Xlchild_supervisor__Safe

external listen : Unix.file_descr -> int = "xlchild_ml_keeper_listen"
external connect : Unix.file_descr -> int = "xlchild_ml_keeper_connect"

external receive : Unix.file_descr -> Bytes.t -> int * int
  = "xlchild_ml_keeper_receive"

external send_fds : Unix.file_descr -> string -> Unix.file_descr array -> int
  = "xlchild_ml_send_fds"

external pidfd_open : int -> int = "xlchild_ml_pidfd_open"
external fd_of_int : int -> Unix.file_descr = "%identity"

let most_kib = 1024
let many = 1000

let got what n =
  if n < 0 then Alcotest.failf "%s: errno %d" what (-n) else fd_of_int n

(* Its labels: all that was sent before has been heard then. *)
let list_of socket =
  Alcotest.(check int) "asked" 0 (send_fds socket "list" [||]);
  let buffer = Bytes.create 1024 in
  let rec next found =
    let n, fd = receive socket buffer in
    if fd >= 0 then Unix.close (fd_of_int fd);
    match Bytes.sub_string buffer 0 (max 0 n) with
    | "end" -> found
    | "" -> Alcotest.fail "it hangs up"
    | text -> next (text :: found)
  in
  next []

let said verb i =
  Printf.sprintf "%s xlchild.1.2.service-%d.%d.1000000000" verb i (i + 1)

let hold socket count =
  let mine = got "a pidfd" (pidfd_open (Unix.getpid ())) in
  for i = 1 to count do
    let text = said "hold" i in
    Alcotest.(check int) text 0 (send_fds socket text [| mine |])
  done;
  Unix.close mine;
  Alcotest.(check int) "it has all" count (List.length (list_of socket))

let pss pid =
  Xlchild_syslog.Outside.lines (Printf.sprintf "/proc/%d/smaps_rollup" pid)
  |> List.find_map (fun line ->
         try Scanf.sscanf line "Pss: %d kB" Option.some
         with Scanf.Scan_failure _ | End_of_file -> None)
  |> Option.get

let program pid = Unix.readlink (Printf.sprintf "/proc/%d/exe" pid)

let the_only folder =
  match Test_keeping.keeper_of folder with
  | [ pid ] -> pid
  | all -> Alcotest.failf "%d keepers" (List.length all)

(* It is gone once nobody is connected and it holds nothing. *)
let gone pid =
  Alcotest.(check bool) "it ends" true
    (Support.eventually (fun () ->
         not (Sys.file_exists (Printf.sprintf "/proc/%d" pid))
         || (try program pid = "" with Unix.Unix_error _ -> true)))

let drop socket count =
  for i = 1 to count do
    let text = said "drop" i in
    Alcotest.(check int) text 0 (send_fds socket text [||])
  done;
  Alcotest.(check int) "it has none" 0 (List.length (list_of socket))

let with_folder f =
  Support.with_temporary_folder @@ fun folder ->
  let safe = Safe.open_folder folder in
  Fun.protect ~finally:(fun () -> Safe.close_folder safe) (fun () ->
      f folder safe)

let small () =
  with_folder @@ fun folder safe ->
  let keeping = Keeping.open_ safe ~identity:(Processes.identity folder) in
  let socket = got "the keeper" (connect safe.fd) in
  hold socket many;
  let pid = the_only folder in
  Alcotest.(check string) "the program" "/memfd:xlchild-keeper (deleted)"
    (program pid);
  let kib = pss pid in
  Printf.printf "a keeper of %d pidfds: PSS %d KiB\n%!" many kib;
  Alcotest.(check bool) (Printf.sprintf "%d KiB at most" most_kib) true
    (kib <= most_kib);
  drop socket many;
  Unix.close socket;
  Keeping.close keeping ~leave:true;
  gone pid

(* No file in memory can be written: the host's program serves. *)
let refused () =
  with_folder @@ fun folder safe ->
  let listener = got "a socket" (listen safe.fd) in
  let host =
    Filename.concat (Filename.dirname Sys.executable_name) "life.exe"
  in
  Xlchild.with_context (fun ctx ->
      let command =
        Xlchild.command host [ folder ] ~env:[ "XLCHILD_KEEPER=1" ]
          ~rlimits:[ Xlchild.Rlimit.make File_size 0 ]
          ~fds:
            (Xlchild.Fd_map.of_list
               [
                 (0, Xlchild.Null); (1, Xlchild.Null);
                 (2, Xlchild.Fd Unix.stderr); (3, Xlchild.Fd listener);
                 (4, Xlchild.Fd safe.fd);
               ])
      in
      Support.check_status "it is on its way" "exit 0"
        (Xlchild.Child.wait (Xlchild.start ctx command)));
  Unix.close listener;
  let socket = got "the keeper" (connect safe.fd) in
  hold socket 3;
  let pid = the_only folder in
  Alcotest.(check string) "the program" "life.exe"
    (Filename.basename (program pid));
  drop socket 3;
  Unix.close socket;
  gone pid

let cases =
  Support.not_under_valgrind ~why:"it knows no pidfds"
    [
      Support.case "B12 a keeper of 1,000 pidfds has a MiB at most" small;
      Support.case "B12 a keeper where a file in memory is refused" refused;
    ]
