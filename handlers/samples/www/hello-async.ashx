<%@ WebHandler Class="samples::HelloAsync, hello" %>
